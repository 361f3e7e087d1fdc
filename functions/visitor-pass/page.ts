import { html, raw } from "hono/html";
import type { OpenedPass } from "./handler.ts";

/** What the page says, by language. */
const words = {
  en: {
    pass: "Pass",
    valid: "Show this code at the gate.",
    not_yet_valid: "Not yet: the code opens from the hour below.",
    outside_schedule: "Not now: the code opens in the hours below.",
    used: "This pass was used.",
    expired: "This pass has expired.",
    revoked: "This pass was revoked. Ask your host for a new one.",
    cancelled: "The invitation was cancelled. Ask your host.",
    unknown: "There is no pass behind this link. Ask your host for a new one.",
    from: "from",
    until: "until",
    daily: "each day",
    days: "on the days agreed with your host",
  },
  bg: {
    pass: "Пропуск",
    valid: "Покажете този код на входа.",
    not_yet_valid: "Още не: кодът отваря от часа по-долу.",
    outside_schedule: "Не сега: кодът отваря в часовете по-долу.",
    used: "Този пропуск вече е използван.",
    expired: "Този пропуск е изтекъл.",
    revoked: "Този пропуск е отменен. Поискайте нов от домакина си.",
    cancelled: "Поканата е отменена. Попитайте домакина си.",
    unknown: "Зад тази връзка няма пропуск. Поискайте нова от домакина си.",
    from: "от",
    until: "до",
    daily: "всеки ден",
    days: "в дните, уговорени с домакина",
  },
  es: {
    pass: "Pase",
    valid: "Muestre este código en la entrada.",
    not_yet_valid: "Todavía no: el código abre desde la hora indicada.",
    outside_schedule: "Ahora no: el código abre en el horario indicado.",
    used: "Este pase ya se ha usado.",
    expired: "Este pase ha caducado.",
    revoked: "Este pase se ha anulado. Pida uno nuevo a su anfitrión.",
    cancelled: "La invitación se ha cancelado. Pregunte a su anfitrión.",
    unknown: "Este enlace no lleva a ningún pase. Pida uno nuevo a su anfitrión.",
    from: "desde",
    until: "hasta",
    daily: "cada día",
    days: "los días acordados con su anfitrión",
  },
};
type Language = keyof typeof words;

const style = `:root{color-scheme:light}
body{margin:0;padding:1.5rem 1rem;background:#fff;color:#111;font:1.0625rem/1.45 system-ui,sans-serif;text-align:center}
main{max-width:26rem;margin:auto}h1{font-size:1.375rem;margin:0}p{margin:.375rem 0}
svg{display:block;width:100%;max-width:20rem;margin:1rem auto}
.state{font-weight:600;margin:1rem 0}.closed{color:#a3162a}.quiet{color:#555}`;

/** The page of one pass, or of a link behind which there is none. */
export async function passPage({ opened, qr, nonce, languages }: {
  opened: OpenedPass | undefined;
  qr: string | undefined;
  nonce: string;
  languages: string | undefined;
}): Promise<string> {
  const language = languageOf(languages, opened?.locale);
  const said = words[language];
  const state = opened?.state ?? "unknown";
  const sentence = state in said ? said[state as keyof typeof said] : said.unknown;
  return await html`
    <!doctype html>
    <html lang="${language}">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="robots" content="noindex, nofollow">
        <meta name="referrer" content="no-referrer">
        <title>${said.pass}${opened ? ` · ${opened.place}` : ""}</title>
        <style nonce="${nonce}">${raw(style)}</style>
      </head>
      <body>
        <main>
    ${opened && html`<h1>${opened.place}</h1>`}
    ${opened?.address && html`<p class="quiet">${opened.address}</p>`}
    <p class="state${qr ? "" : " closed"}">${sentence}</p>
    ${qr && raw(qr)}
    ${opened?.visitor_name && html`<p>${opened.visitor_name}</p>`}
    ${opened?.title && html`<p>${opened.title}</p>`}
    ${opened && qr && html`<p>${hours(opened, language)}</p>`}
        </main>
      </body>
    </html>
  `;
}

function hours(opened: OpenedPass, language: Language): string {
  const said = words[language];
  const moment = new Intl.DateTimeFormat(language, {
    dateStyle: "medium",
    timeStyle: "short",
    timeZone: opened.time_zone,
  });
  const [from, until] = [opened.starts_at, opened.ends_at].map((at) => moment.format(new Date(at)));
  const daily = opened.daily_from && opened.daily_until &&
    `${opened.has_days ? said.days : said.daily} ${opened.daily_from.slice(0, 5)}–${opened.daily_until.slice(0, 5)}`;
  return [`${said.from} ${from} ${said.until} ${until}`, daily].filter(Boolean).join(", ");
}

/** The first language of the browser that the page speaks, else the community's, else English. */
function languageOf(accepted: string | undefined, locale: string | undefined): Language {
  const wanted = [...(accepted ?? "").split(",").map((range) => range.split(";")[0]?.trim() ?? ""), locale ?? ""];
  const spoken = wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag): tag is Language => tag in words);
  return spoken ?? "en";
}
