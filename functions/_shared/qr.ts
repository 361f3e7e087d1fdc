import { encode as encodePng } from "fast-png";
import { encode } from "uqr";

/** A QR code, as a page and as a picture show it. */
export type QrCode = {
  /** 1 to 40; follows from the length of the text. */
  version: number;
  /** Modules on a side, without the quiet zone. */
  modules: number;
  /** How much may be covered or broken: M, 15 %. */
  error_correction: "M";
  /** With the quiet zone of four modules; scales to any size. */
  svg: string;
  /** The same in black and white, eight pixels a module. */
  png: Uint8Array;
};

const quietZone = 4;
const pixelsPerModule = 8;

/**
 * The QR code of a text. A pass of 90 characters takes version 6 (41 modules), an offline one of 133 version 8 (49), a
 * resident's of 83 version 5 (37). Level M: the next one makes the modules of a cheap telephone's display smaller, the one below
 * leaves a scratched display nothing.
 */
export function qrCode(text: string): QrCode {
  const { version, size, data } = encode(text, { ecc: "M", border: quietZone });
  return { version, modules: size - 2 * quietZone, error_correction: "M", svg: svgOf(data), png: pngOf(data) };
}

/** One path: a run of dark modules in a row is one rectangle. */
function svgOf(rows: boolean[][]): string {
  const dark = rows.flatMap((row, y) => {
    const runs: string[] = [];
    for (let x = 0; x < row.length; x += 1) {
      if (!row[x]) continue;
      const from = x;
      while (row[x + 1]) x += 1;
      runs.push(`M${from} ${y}h${x + 1 - from}v1H${from}z`);
    }
    return runs;
  });
  const size = rows.length;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges">` +
    `<path fill="#fff" d="M0 0h${size}v${size}H0z"/><path d="${dark.join("")}"/></svg>`;
}

function pngOf(rows: boolean[][]): Uint8Array {
  const width = rows.length * pixelsPerModule;
  const bytesPerRow = Math.ceil(width / 8);
  const data = new Uint8Array(bytesPerRow * width).fill(0xff);
  for (let y = 0; y < width; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (!rows[Math.floor(y / pixelsPerModule)]?.[Math.floor(x / pixelsPerModule)]) continue;
      const at = y * bytesPerRow + (x >> 3);
      data[at] = (data[at] ?? 0) & ~(0x80 >> (x & 7));
    }
  }
  return encodePng({ width, height: width, depth: 1, channels: 1, data });
}
