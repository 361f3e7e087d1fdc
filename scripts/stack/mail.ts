import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const mailSchema = z.object({
  id: z.string(),
  to: z.string(),
  subject: z.string(),
  text: z.string(),
  html: z.string().optional(),
  /** The link the recipient is meant to open, if there is one. */
  link: z.string().optional(),
  /** The code the recipient may type instead. */
  code: z.string().optional(),
  sentAt: z.string(),
});

/** A mail that was caught instead of sent. */
export type Mail = z.infer<typeof mailSchema>;

export type OutgoingMail = Omit<Mail, 'id' | 'sentAt'>;

/** Takes every mail the stack would send. */
export type MailCatcher = {
  /** All mails caught so far, oldest first. */
  list(): Mail[];
  /**
   * The newest mail to an address that fits, awaited if it is not there yet.
   *
   * @throws when none comes within `timeoutMs` (30 s by default)
   */
  waitFor(to: string, predicate?: (mail: Mail) => boolean, timeoutMs?: number): Promise<Mail>;
  /** What services call to send. */
  deliver(mail: OutgoingMail): void;
};

/**
 * Catches mails, in memory and, when `directory` is given, as one JSON file each, so that they are still there after
 * a restart.
 *
 * @param onMail called for each mail as it arrives
 */
export function createMailCatcher(options: { directory?: string; onMail?: (mail: Mail) => void } = {}): MailCatcher {
  const { directory, onMail } = options;
  const mails: Mail[] = directory === undefined ? [] : readMails(directory);
  const waiting = new Set<() => void>();

  return {
    list: () => [...mails],
    deliver(outgoing) {
      const sentAt = new Date().toISOString();
      const mail: Mail = { id: `${sentAt.replace(/\D/g, '')}-${mails.length + 1}`, ...outgoing, sentAt };
      mails.push(mail);
      if (directory !== undefined) {
        mkdirSync(directory, { recursive: true });
        writeFileSync(join(directory, `${mail.id}.json`), `${JSON.stringify(mail, null, 2)}\n`, { mode: 0o600 });
      }
      onMail?.(mail);
      for (const look of [...waiting]) look();
    },
    waitFor(to, predicate = () => true, timeoutMs = 30_000) {
      const find = () => mails.findLast((mail) => mail.to.toLowerCase() === to.toLowerCase() && predicate(mail));
      return new Promise((resolve, reject) => {
        const look = () => {
          const mail = find();
          if (!mail) return false;
          waiting.delete(look);
          clearTimeout(deadline);
          resolve(mail);
          return true;
        };
        const deadline = setTimeout(() => {
          waiting.delete(look);
          reject(new Error(`No mail to ${to} came within ${timeoutMs} ms.`));
        }, timeoutMs);
        if (!look()) waiting.add(look);
      });
    },
  };
}

function readMails(directory: string): Mail[] {
  let files: string[];
  try {
    files = readdirSync(directory).filter((file) => file.endsWith('.json')).sort();
  } catch {
    return [];
  }
  return files.flatMap((file) => {
    const parsed = mailSchema.safeParse(JSON.parse(readFileSync(join(directory, file), 'utf8')));
    return parsed.success ? [parsed.data] : [];
  });
}
