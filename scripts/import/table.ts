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

/** A file that cannot be read as a roster; the message says why, in a sentence for whoever made the file. */
export class UnreadableRoster extends Error {
  override name = 'UnreadableRoster';
}
