/**
 * Lines of a stream of text.
 *
 * @module
 */

/** Turns pieces of text into lines without their ends; what follows the last end is a line, too. */
export class TextLineStream extends TransformStream<string, string> {
  /** Starts with no text. */
  constructor() {
    let rest = "";
    super({
      transform(text, controller) {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) controller.enqueue(line);
      },
      flush(controller) {
        if (rest !== "") controller.enqueue(rest);
      },
    });
  }
}
