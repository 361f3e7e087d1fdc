/** A cell as `import_roster` takes it. A number is one the file stores as a number, not a text that looks like one. */
export type Cell = string | number | boolean | null;

/** A file as a table of cells. */
export type Table = { cells: Cell[][]; format: string };

export type ReadOptions = {
  /** Name of the sheet; the first by default. */
  sheet?: string;
  /** What stands between the cells of a CSV file; found out by default. */
  delimiter?: string;
  /** The row that holds the headers; by default the first with at least two cells. */
  headerRow?: number;
  /** Called with how much of the file has been read, from 0 to 1. */
  onProgress?: (share: number) => void;
};

/** A text of a file or a database, for a terminal: what could move its cursor, repaint it or turn the line round shows as \ufffd. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');
}

/** A file that cannot be read as a roster; the message says why, in a sentence for whoever made the file. */
export class UnreadableRoster extends Error {
  override name = 'UnreadableRoster';
  constructor(message: string) {
    super(printable(message));
  }
}
