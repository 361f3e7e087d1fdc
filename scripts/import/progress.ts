import pc from 'picocolors';

const length = 30;

/** How far something is, from 0 to 1. */
export function bar(share: number): string {
  const done = Math.round(share * length);
  return `${pc.green('█'.repeat(done))}${pc.dim('░'.repeat(length - done))} ${Math.round(share * 100)} %`;
}

/** That something is at work, where nobody can tell how far it is; the next step moves it on. */
export function pulse(step: number): string {
  const light = 6;
  const room = length - light;
  const at = room - Math.abs((step % (2 * room)) - room);
  return `${pc.dim('░'.repeat(at))}${pc.green('█'.repeat(light))}${pc.dim('░'.repeat(room - at))}`;
}
