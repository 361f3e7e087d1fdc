import { AsyncLocalStorage } from 'node:async_hooks';
import type { EmailDriver, EmailMessage } from '@supabase/lite';
import type { MailCatcher } from '../mail.ts';

/** Types that a link in a mail may have. */
export type LinkType = 'signup' | 'invite' | 'magiclink' | 'recovery' | 'email_change';

const subjects: Record<LinkType, string> = {
  signup: 'Confirm your signup',
  invite: 'You have been invited',
  magiclink: 'Your magic link',
  recovery: 'Reset your password',
  email_change: 'Confirm your new address',
};

/** Sends Auth's mails to the catcher, with links that lead to this stack and back to where the app asked for. */
export type AuthMails = ReturnType<typeof createAuthMails>;

/** @param authUrl the address of Auth, where links lead */
export function createAuthMails(catcher: MailCatcher, authUrl: string, siteUrl: string) {
  const request = new AsyncLocalStorage<{ redirectTo: string | undefined }>();

  /** The address that redeems a token and leads on to the app. */
  function link(type: LinkType, hash: string, redirectTo: string | undefined): string {
    const url = new URL(`${authUrl}/verify`);
    url.searchParams.set('token', hash);
    url.searchParams.set('type', type);
    url.searchParams.set('redirect_to', redirectTo || siteUrl);
    return url.toString();
  }

  function send(to: string, type: LinkType, token: { code: string; hash: string }, redirectTo: string | undefined): void {
    const href = link(type, token.hash, redirectTo);
    const text = `${subjects[type]}: ${href}\n\nOr enter this code: ${token.code}\n`;
    catcher.deliver({ to, subject: subjects[type], text, link: href, code: token.code });
  }

  /** What @supabase/lite sends mails through. It knows neither our address nor where the app wants its user back. */
  const driver: EmailDriver = {
    async send(message: EmailMessage) {
      const text = message.text ?? '';
      const code = /: (\d{4,10})\b/.exec(text)?.[1];
      const original = /https?:\/\/\S+\/verify\?(\S+)/.exec(text)?.[1];
      const parameters = new URLSearchParams(original);
      const [hash, type] = [parameters.get('token'), parameters.get('type') as LinkType | null];
      if (code && hash && type && type in subjects) send(message.to, type, { code, hash }, request.getStore()?.redirectTo);
      else catcher.deliver({ to: message.to, subject: message.subject, text, ...(code && { code }) });
    },
  };

  return {
    driver,
    link,
    send,
    /** Runs `work` so that mails it sends lead back to `redirectTo`. */
    leadingBackTo: <T>(redirectTo: string | undefined, work: () => T): T => request.run({ redirectTo }, work),
  };
}
