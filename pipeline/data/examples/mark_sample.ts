/**
 * From a sample to the text that is trained on, by the template that the data names.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { BadRow } from "../importers/bad_row.ts";
import type { ConversationSample, Sample } from "../importers/sample.ts";
import type { ChatTemplate } from "../templates/chat_template.ts";
import { INSTRUCTION_TEMPLATES } from "../templates/instruction_templates.ts";
import { learnAll, markCompletion, type MarkedText } from "../templates/marked_text.ts";
import type { Halves } from "./encode.ts";
import { isChat, type RowsData, type RowTemplate } from "./rows_data.ts";

/** A sample as one text, or as the two that it is made of. */
export interface MarkedSample {
  readonly marked: MarkedText;
  /** Null for conversations and for texts that are learned whole. */
  readonly halves: Halves | null;
}

/** What decides how samples become texts. */
export interface Marking {
  readonly template: RowTemplate | undefined;
  readonly learn: RowsData["learn"];
  /** The template of instructions if none is named. */
  readonly instructions: string;
  /** Opened for the first conversation: other data needs none. */
  readonly chat: () => ChatTemplate;
}

/**
 * The text of a sample.
 *
 * @throws {BadRow} If the template refuses the sample.
 * @throws {UserError} If the template is not for samples of this kind, or the model has none.
 */
export function markSample(sample: Sample, marking: Marking): MarkedSample {
  const { template, learn } = marking;
  if (sample.kind === "text") {
    if (template !== undefined) throw unsuitable(marking, "a text, which is learned as it is");
    if (sample.text === "") throw new BadRow("the text is empty: there is nothing to learn");
    return { marked: markCompletion("", sample.text), halves: null };
  }
  if (sample.kind === "conversation" || isChat(template)) {
    if (!isChat(template ?? "chat")) throw unsuitable(marking, "conversations");
    const marked = marking.chat().render(
      conversationOf(sample),
      learn === "last" ? "last" : "every",
    );
    return { marked: learn === "all" ? learnAll(marked) : marked, halves: null };
  }
  const halves = halvesOf(sample, marking);
  if (halves.completion === "") {
    throw new BadRow("the completion is empty: there is nothing to learn");
  }
  const marked = markCompletion(halves.prompt, halves.completion);
  return { marked: learn === "all" ? learnAll(marked) : marked, halves };
}

type PromptedSample = Exclude<Sample, { kind: "text" | "conversation" }>;

function halvesOf(sample: PromptedSample, { template, instructions }: Marking): Halves {
  if (sample.kind === "completion" && template === undefined) return sample;
  const name = template ?? instructions;
  const found = INSTRUCTION_TEMPLATES.find((each) => each.name === name);
  if (found === undefined) throw new RangeError(`There is no template ${JSON.stringify(name)}`);
  return sample.kind === "completion"
    ? { prompt: found.prompt(sample.prompt, ""), completion: sample.completion }
    : { prompt: found.prompt(sample.instruction, sample.input), completion: sample.output };
}

/** A prompt and its completion as two turns. */
function conversationOf(sample: PromptedSample | ConversationSample): ConversationSample {
  if (sample.kind === "conversation") return sample;
  const [content, reply] = sample.kind === "completion" ? [sample.prompt, sample.completion] : [
    [sample.instruction, sample.input].filter((part) => part !== "").join("\n\n"),
    sample.output,
  ];
  return {
    kind: "conversation",
    messages: [{ role: "user", content }, { role: "assistant", content: reply }],
    context: 0,
    extra: {},
  };
}

function unsuitable({ template }: Marking, what: string): UserError {
  const name = typeof template === "string" ? `template: ${template}` : "a chat template";
  return new UserError(
    `The rows hold ${what}, to which ${name} does not apply; leave template out`,
  );
}
