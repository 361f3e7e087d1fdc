import { Hono } from 'hono';
import { html } from 'hono/html';
import type { MailCatcher } from '../mail.ts';

/** The mails that were caught, for people at /mail and as JSON at /mail.json. Answers requests from this machine alone. */
export function mailPages(mails: MailCatcher): Hono {
  const pages = new Hono();

  for (const path of ['/mail', '/mail.json']) {
    pages.use(path, async (c, next) => {
      const { hostname } = new URL(c.req.url);
      if (!['127.0.0.1', 'localhost', '[::1]'].includes(hostname)) return c.text('Mails are shown on this machine alone.', 403);
      return next();
    });
  }

  pages.get('/mail.json', (c) => c.json(mails.list()));

  pages.get('/mail', (c) =>
    c.html(html`
      <!doctype html>
      <html lang="en">
              <meta charset="utf-8" />
              <title>Vicinia: mails</title>
              <style>
                body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }
                article { border-top: 1px solid #8884; padding: 1rem 0; }
                h2 { font-size: 1rem; margin: 0; }
                time { opacity: 0.7; }
                code { font-size: 1.25rem; letter-spacing: 0.2em; }
              </style>
              <h1>Mails</h1>
              <p>Nothing leaves this machine: what Auth would send is kept here.</p>
              ${mails.list().reverse().map(
                (mail) =>
                  html`<article>
            <h2>${mail.subject}</h2>
            <p>to ${mail.to} <time>${mail.sentAt}</time></p>
            ${mail.link ? html`<p><a href="${mail.link}">Open the link</a></p>` : ''}
            ${mail.code ? html`<p>Code: <code>${mail.code}</code></p>` : ''}
            ${mail.link || mail.code ? '' : html`<pre>${mail.text}</pre>`}
          </article>`,
              )}
            </html>
    `));

  return pages;
}
