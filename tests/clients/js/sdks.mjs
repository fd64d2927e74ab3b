// One request by one SDK. Reads {sdk, url, token, stream, tools} from standard input and prints one
// line of JSON: {text, pieces, finish, usage, calls} or {error: {name, status, message, body}}.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { InferenceClient } from "@huggingface/inference";
import { generateText, jsonSchema, streamText, tool } from "ai";
import OpenAI from "openai";
import { text as read } from "node:stream/consumers";

const MODEL = "smollm2";
const PROMPT = "Name three colours of the rainbow.";
const MAX_TOKENS = 32;
const PARAMETERS = {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
};
const DESCRIPTION = "Tells the weather of a city.";

const openAiTools = [
    {
        type: "function",
        function: { name: "weather", description: DESCRIPTION, parameters: PARAMETERS },
    },
];
const chat = (tools) => ({
    model: MODEL,
    messages: [{ role: "user", content: PROMPT }],
    temperature: 0,
    seed: 1,
    max_tokens: MAX_TOKENS,
    ...(tools ? { tools: openAiTools, tool_choice: "auto" } : {}),
});

/** Joins the chunks of a chat completion. */
async function joined(chunks) {
    const whole = { text: "", pieces: [], finish: null, usage: null, calls: [] };
    for await (const chunk of chunks) {
        whole.usage = chunk.usage ?? whole.usage;
        for (const { delta, finish_reason: finish } of chunk.choices) {
            whole.finish = finish ?? whole.finish;
            if (delta.content) {
                whole.text += delta.content;
                whole.pieces.push(delta.content);
            }
            for (const { index, function: part } of delta.tool_calls ?? []) {
                const call = (whole.calls[index] ??= { name: "", input: "" });
                call.name += part.name ?? "";
                call.input += part.arguments ?? "";
            }
        }
    }
    whole.calls = whole.calls.map(({ name, input }) => ({ name, input: JSON.parse(input) }));
    return whole;
}

function whole({ choices: [{ message, finish_reason: finish }], usage }) {
    const calls = (message.tool_calls ?? []).map(({ function: { name, arguments: input } }) => ({
        name,
        input: JSON.parse(input),
    }));
    return { text: message.content ?? "", finish, usage, calls };
}

const sdks = {
    async openai({ url, token, stream, tools }) {
        const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: token, maxRetries: 0 });
        const { completions } = client.chat;
        if (!stream) return whole(await completions.create(chat(tools)));
        const usage = { stream: true, stream_options: { include_usage: true } };
        return joined(await completions.create({ ...chat(tools), ...usage }));
    },

    async huggingface({ url, token, stream, tools }) {
        const client = new InferenceClient(token, { endpointUrl: `${url}/v1/chat/completions` });
        if (!stream) return whole(await client.chatCompletion(chat(tools)));
        return joined(client.chatCompletionStream(chat(tools)));
    },

    async vercel({ url, token, stream, tools }) {
        const provider = createOpenAICompatible({
            name: "gateway",
            baseURL: `${url}/v1`,
            apiKey: token,
            includeUsage: true,
        });
        const settings = {
            model: provider(MODEL),
            prompt: PROMPT,
            temperature: 0,
            seed: 1,
            maxOutputTokens: MAX_TOKENS,
            maxRetries: 0,
            ...(tools
                ? {
                      tools: {
                          weather: tool({
                              description: DESCRIPTION,
                              inputSchema: jsonSchema(PARAMETERS),
                          }),
                      },
                  }
                : {}),
        };
        const pieces = [];
        let result;
        if (stream) {
            let failure;
            result = streamText({ ...settings, onError: ({ error }) => (failure = error) });
            for await (const piece of result.textStream) pieces.push(piece);
            if (failure) throw failure;
        } else {
            result = await generateText(settings);
        }
        const { inputTokens, outputTokens } = await result.usage;
        const calls = await result.toolCalls;
        return {
            text: await result.text,
            pieces,
            finish: await result.finishReason,
            usage: { prompt_tokens: inputTokens, completion_tokens: outputTokens },
            calls: calls.map(({ toolName, input }) => ({ name: toolName, input })),
        };
    },

    async anthropic({ url, token, stream, tools }) {
        const client = new Anthropic({ baseURL: url, authToken: token, apiKey: null, maxRetries: 0 });
        const body = {
            model: MODEL,
            max_tokens: MAX_TOKENS,
            temperature: 0,
            messages: [{ role: "user", content: PROMPT }],
            ...(tools
                ? { tools: [{ name: "weather", description: DESCRIPTION, input_schema: PARAMETERS }] }
                : {}),
        };
        const pieces = [];
        let message;
        if (stream) {
            const events = client.messages.stream(body);
            events.on("text", (piece) => pieces.push(piece));
            message = await events.finalMessage();
        } else {
            message = await client.messages.create(body);
        }
        const { content, stop_reason: finish, usage } = message;
        return {
            text: content.map((block) => block.text ?? "").join(""),
            pieces,
            finish,
            usage: { prompt_tokens: usage.input_tokens, completion_tokens: usage.output_tokens },
            calls: content
                .filter(({ type }) => type === "tool_use")
                .map(({ name, input }) => ({ name, input })),
        };
    },
};

const request = JSON.parse(await read(process.stdin));
let outcome;
try {
    outcome = await sdks[request.sdk](request);
} catch (error) {
    const status = error.status ?? error.statusCode ?? error.httpResponse?.status ?? null;
    const body = error.httpResponse?.body || null;
    outcome = { error: { name: error.constructor.name, status, message: error.message, body } };
}
console.log(JSON.stringify(outcome));
