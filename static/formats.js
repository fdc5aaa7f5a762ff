// What the bytes of a picture tell that the browser does not.

const read = (part) => new TextDecoder("latin1").decode(part);

// Whether EXIF says that a WebP is stored turned: Chromium shows it as stored.
export function isTurnedWebp(bytes) {
  if (!/^RIFF.{4}WEBP/s.test(read(bytes.slice(0, 12)))) return false;
  // The orientation's entry (tag 0x112, one short, 2 to 8), in either order of bytes.
  const little = /EXIF.*\x12\x01\x03\0\x01\0\0\0[\x02-\x08]\0/s;
  const big = /EXIF.*\x01\x12\0\x03\0\0\0\x01\0[\x02-\x08]/s;
  const text = read(bytes);
  return little.test(text) || big.test(text);
}

// Whether a GIF, a WebP, a PNG or an AVIF is an animation.
export function isAnimated(bytes) {
  const head = read(bytes.slice(0, 21));
  if (head.slice(4, 12) === "ftypavis") return true;
  // More than one frame, which is told ahead of the pixels.
  if (head.startsWith("PNG", 1)) return /acTL\0\0(?!\0\x01)/.test(read(bytes).split("IDAT", 1)[0]);
  // The flag that libwebp sets, in its chunk of features.
  if (/^RIFF.{4}WEBPVP8X/s.test(head)) return (head.charCodeAt(20) & 2) !== 0;
  if (!/^GIF8[79]a/.test(head)) return false;
  // Two pictures, each with its delay before it.
  return (read(bytes).match(/!\xf9\x04.{4}\0[,!]/gs) ?? []).length > 1;
}
