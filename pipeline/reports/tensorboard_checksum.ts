// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * CRC-32C, the checksum of TFRecord files (RFC 3720, appendix B.4).
 *
 * @module
 */

/** The Castagnoli polynomial 0x1edc6f41 with its bits reversed. */
const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = remainder & 1 ? (remainder >>> 1) ^ POLYNOMIAL : remainder >>> 1;
  }
  return remainder;
});

/** CRC-32C of some bytes, an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array): number {
  let remainder = 0xffffffff;
  for (const byte of bytes) remainder = TABLE[(remainder ^ byte) & 0xff]! ^ (remainder >>> 8);
  return (remainder ^ 0xffffffff) >>> 0;
}

/**
 * The checksum as TFRecord stores it: rotated and shifted, so that the checksum of data which holds
 * checksums stays meaningful (TensorFlow, `lib/hash/crc32c.h`).
 */
export function maskedCrc32c(bytes: Uint8Array): number {
  const checksum = crc32c(bytes);
  return (((checksum >>> 15) | (checksum << 17)) + 0xa282ead8) >>> 0;
}
