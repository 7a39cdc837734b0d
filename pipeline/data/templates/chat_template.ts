/**
 * Chat templates: a conversation as the text that the model was trained on, and which parts of it are
 * the assistant's.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { BadRow } from "../importers/bad_row.ts";
import type { ConversationSample, Message } from "../importers/sample.ts";
import { type ChatTemplateFiles, readChatTemplate } from "./chat_template_files.ts";
import { JinjaTemplate, TemplateError } from "./jinja.ts";
import type { LearnedSpan, MarkedText } from "./marked_text.ts";

/** Stand for `{% generation %}` and `{% endgeneration %}`: code points that no text has. */
const [GENERATION, END] = ["\uFDD0", "\uFDD1"];
const MARKS = /[\uFDD0\uFDD1]/;

/** Whose turns are learned. */
export type LearnedTurns = "every" | "last";

/**
 * A model's chat template.
 *
 * Where it marks the assistant's turns with `{% generation %}`, these are learned. Where it does not,
 * they are found by rendering the conversation up to each turn; a template that words the beginning
 * of a conversation differently once more follows is refused.
 */
export class ChatTemplate {
  readonly #template: JinjaTemplate;
  readonly #hasMarks: boolean;
  readonly #files: ChatTemplateFiles;
  #asksAlways: boolean | null = null;

  /**
   * Parses a template.
   *
   * @throws {UserError} If it is no template.
   */
  constructor(source: string, files: ChatTemplateFiles) {
    const marked = markGenerations(source);
    this.#hasMarks = marked !== source;
    this.#files = files;
    try {
      this.#template = new JinjaTemplate(marked, { trimBlocks: true });
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      throw new UserError(`${files.name}: not a Jinja template (${error.message})`);
    }
  }

  /**
   * The chat template of a model folder.
   *
   * @param source Instead of the folder's own.
   * @throws {UserError} If there is none, or it is no template.
   */
  static open(folder: string, source?: string, name?: string): ChatTemplate {
    const files = readChatTemplate(folder);
    const template = source ?? files.source;
    if (template === null) {
      throw new UserError(
        `${folder}: the tokenizer has no chat template; give one with template: { chat: ... }, or ` +
          `name a template for instructions`,
      );
    }
    return new ChatTemplate(template, name === undefined ? files : { ...files, name });
  }

  /**
   * The text of a conversation, up to the end of what is learned.
   *
   * @throws {BadRow} If the template refuses the conversation, no turn of it is to be learned, or its
   * turns cannot be told apart.
   */
  render(sample: ConversationSample, turns: LearnedTurns = "every"): MarkedText {
    const { messages } = sample;
    if (messages.some(({ content }) => typeof content === "string" && MARKS.test(content))) {
      throw new BadRow(
        "a message has the characters U+FDD0 or U+FDD1, which Unicode gives to no text",
      );
    }
    const all = messages.flatMap(({ role }, index) =>
      role === "assistant" && index >= sample.context ? [index] : []
    );
    const learned = turns === "last" ? all.slice(-1) : all;
    if (learned.length === 0) {
      throw new BadRow("no turn is the assistant's: there is nothing to learn");
    }
    const empty = messages.findIndex((each, index) => learned.includes(index) && isEmpty(each));
    if (empty !== -1) {
      throw new BadRow(`message ${empty + 1} is an empty reply: there is nothing to learn in it`);
    }
    const { text, spans } = this.#hasMarks
      ? this.#markedSpans(sample, learned)
      : this.#prefixSpans(sample, learned);
    const marks = spans.map((span) => this.#closed(text, span));
    return { text: text.slice(0, marks.at(-1)?.end), learned: marks, hasSpecialTokens: true };
  }

  /** What a template marks must be the assistant's turns, one mark each. */
  #markedSpans(sample: ConversationSample, learned: readonly number[]): Rendered {
    const { messages } = sample;
    const marked = this.#text(sample, messages.length, false);
    const spans: Span[] = [];
    let text = "";
    for (const piece of marked.split(/(?=[\uFDD0\uFDD1])/)) {
      const last = spans.at(-1);
      if (piece.startsWith(GENERATION)) spans.push({ start: text.length, end: -1 });
      if (piece.startsWith(END) && last !== undefined) last.end = text.length;
      text += piece.replace(/^[\uFDD0\uFDD1]/, "");
    }
    const assistants = messages.flatMap(({ role }, index) => role === "assistant" ? [index] : []);
    if (spans.length !== assistants.length || spans.some(({ end }) => end < 0)) {
      throw new BadRow(
        `the chat template marks ${spans.length} parts with {% generation %}, but the conversation ` +
          `has ${assistants.length} turns of the assistant`,
      );
    }
    return { text, spans: spans.filter((_, index) => learned.includes(assistants[index] ?? -1)) };
  }

  #prefixSpans(sample: ConversationSample, learned: readonly number[]): Rendered {
    const { messages } = sample;
    const text = this.#text(sample, messages.length, false);
    this.#asksAlways ??= this.#findAsking();
    const asks = this.#asksAlways;
    const spans = learned.map((index) => {
      const before = this.#text(sample, index, true);
      const after = this.#text(sample, index + 1, false);
      if (!text.startsWith(before)) throw this.#unstable(index);
      if (!asks && text.startsWith(after)) return { start: before.length, end: after.length };
      const content = String(messages[index]?.content).trim();
      const start = text.indexOf(content, before.length);
      if (start === -1 || text.slice(before.length, start).trim() !== "") {
        throw this.#unstable(index);
      }
      const end = start + content.length;
      return { start: before.length, end: end + (this.#tokenAt(text, end)?.length ?? 0) };
    });
    return { text, spans };
  }

  /**
   * Whether the template asks for the next reply although it should not: then more than the end of a
   * turn stands at the end of both a question and its answer.
   */
  #findAsking(): boolean {
    const messages = [{ role: "user", content: GENERATION }, { role: "assistant", content: END }];
    const probe = { kind: "conversation", messages, context: 0, extra: {} } as const;
    let [question, answer, asked] = ["", "", ""];
    try {
      question = this.#text(probe, 1, false).split(GENERATION).at(-1) ?? "";
      [answer, asked] = [this.#text(probe, 2, false), this.#text(probe, 2, true)];
    } catch (error) {
      if (error instanceof BadRow) return false;
      throw error;
    }
    if (answer !== asked) return false;
    answer = answer.split(END).at(-1) ?? "";
    let length = 0;
    while (length < question.length && question.at(-1 - length) === answer.at(-1 - length)) {
      length++;
    }
    const end = answer.slice(answer.length - length);
    const ends = this.#files.specialTokens.flatMap((token) => {
      const start = end.indexOf(token);
      return start === -1 ? [] : [start + token.length];
    });
    return end.slice(ends.length === 0 ? 0 : Math.min(...ends)).trim() !== "";
  }

  /** The special token that follows, with the white space before it; null if there is none. */
  #tokenAt(text: string, start: number): string | null {
    const space = /^\s*/.exec(text.slice(start))?.[0] ?? "";
    const token = this.#files.specialTokens.find((each) =>
      text.startsWith(each, start + space.length)
    );
    return token === undefined ? null : space + token;
  }

  /** White space behind the token that ends a turn is not the model's to say. */
  #closed(text: string, { start, end }: Span): LearnedSpan {
    const spoken = text.slice(start, end).trimEnd();
    const isClosed = this.#files.specialTokens.some((token) => spoken.endsWith(token));
    const tokenBehind = isClosed ? null : this.#tokenAt(text, end)?.trimStart() ?? null;
    return { start, end: isClosed ? start + spoken.length : end, isClosed, tokenBehind };
  }

  #text({ messages, extra }: ConversationSample, count: number, asksForReply: boolean): string {
    const { tools, documents } = extra;
    try {
      return this.#template.render({
        ...this.#files.roles,
        ...(tools === undefined ? {} : { tools }),
        ...(documents === undefined ? {} : { documents }),
        messages: messages.slice(0, count),
        add_generation_prompt: asksForReply,
      });
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      throw new BadRow(`the chat template refuses the conversation: ${error.message}`);
    }
  }

  #unstable(index: number): BadRow {
    return new BadRow(
      `the chat template words the conversation before message ${
        index + 1
      } differently once more ` +
        `follows, so that what is learned cannot be told; put {% generation %} and ` +
        `{% endgeneration %} around the assistant's turns in ${this.#files.name}`,
    );
  }
}

interface Span {
  start: number;
  end: number;
}

interface Rendered {
  readonly text: string;
  readonly spans: readonly Span[];
}

/**
 * Makes the marks print what can be found again. A block tag stands for a block tag, so that white
 * space around it is treated alike.
 */
function markGenerations(source: string): string {
  return source
    .replace(/\{%([-+]?)\s*generation\s*([-+]?)%\}/g, `{%$1 if true %}${GENERATION}{% endif $2%}`)
    .replace(/\{%([-+]?)\s*endgeneration\s*([-+]?)%\}/g, `{%$1 if true %}${END}{% endif $2%}`);
}

function isEmpty({ content, tool_calls: calls }: Message): boolean {
  const isBlank = (content ?? "") === "" || (typeof content === "string" && content.trim() === "");
  return isBlank && calls === undefined;
}
