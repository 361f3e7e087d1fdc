/** Names for the parts of pages that other parts point to: kind and name. */
export type Key = `${'table' | 'view' | 'rpc' | 'enum' | 'permission' | 'section'} ${string}`;

/** A cell of a table, or a sentence: text whose signs mean nothing to Markdown, `code` apart. */
export function text(value: string | null | undefined): string {
  if (value === null || value === undefined) return '';
  return value
    .replace(/\s*\n\s*/g, ' ')
    .split(/(`[^`]*`)/)
    .map((part) => (part.startsWith('`') ? part : part.replace(/[\\*[\]]/g, '\\$&').replace(/</g, '&lt;').replace(/(?<![a-z0-9])_|_(?![a-z0-9])/gi, '\\_')))
    .join('')
    .replace(/\|/g, '\\|');
}

/** Code in a cell or a sentence. */
export function code(value: string): string {
  const fence = value.includes('`') ? '``' : '`';
  return `${fence}${value.replace(/\s+/g, ' ').replace(/\|/g, '\\|')}${fence}`;
}

/** A table, or nothing when there are no rows; columns in which no row has anything are left out. */
export function table(head: string[], rows: string[][]): string[] {
  if (rows.length === 0) return [];
  const used = head.map((_, index) => rows.some((row) => row[index] !== ''));
  const line = (cells: string[]) => `| ${cells.filter((_, index) => used[index]).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line), ''];
}

/** What a reader unfolds. */
export function details(summary: string, lines: string[]): string[] {
  return lines.length === 0 ? [] : [`<details><summary>${summary}</summary>`, '', ...lines, '</details>', ''];
}

const reference = /@@([^@]+)@([^@]+)@@/g;

/** Points to another part, on whatever page it turns out to be. */
export const link = (key: Key, label: string): string => `@@${key}@${label}@@`;

/** A page being written: its headings get the anchors that GitHub gives them. */
export class Page {
  readonly lines: string[] = [];
  readonly anchors = new Map<string, string>();
  private readonly taken = new Map<string, number>();

  constructor(readonly file: string) {}

  heading(level: number, title: string, key?: Key): void {
    const slug = title.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-');
    const before = this.taken.get(slug) ?? 0;
    this.taken.set(slug, before + 1);
    if (key !== undefined) this.anchors.set(key, before === 0 ? slug : `${slug}-${before}`);
    this.add(`${'#'.repeat(level)} ${title}`, '');
  }

  add(...lines: string[]): void {
    this.lines.push(...lines);
  }

  /** The page, its links resolved; what points to nothing is its label alone. */
  render(pages: Page[]): string {
    const resolved = this.lines.join('\n').replace(reference, (_, key: string, label: string) => {
      const page = pages.find(({ anchors }) => anchors.has(key));
      if (page === undefined) return label;
      return `[${label}](${page === this ? '' : page.file}#${page.anchors.get(key)})`;
    });
    return `${resolved.replace(/\n{3,}/g, '\n\n').trim()}\n`;
  }
}
