/**
 * Answers in pieces, as server-sent events.
 *
 * @module
 */

/**
 * A response that sends every object as an event, then `[DONE]`.
 *
 * @param onEnd Called when all is sent (null), nobody listens any more (null), or it failed; says
 * what to send in the last case.
 */
export function eventStream(
  events: AsyncIterator<object>,
  onEnd: (failure: unknown) => object,
): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const send = (data: string) => controller.enqueue(encoder.encode(`data: ${data}\n\n`));
      try {
        const { done, value } = await events.next();
        if (!done) return send(JSON.stringify(value));
        send("[DONE]");
        onEnd(null);
      } catch (error) {
        send(JSON.stringify(onEnd(error)));
      }
      controller.close();
    },
    async cancel() {
      await events.return?.();
      onEnd(null);
    },
  });
  return new Response(body, {
    headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" },
  });
}
