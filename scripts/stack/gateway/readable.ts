/**
 * Whether the path of an address can be read: each % begins a character of UTF-8, and it leads to no other host.
 *
 * @param mayHoldNul whether U+0000 is left to who answers
 */
export function isAddress(address: string, mayHoldNul = false): boolean {
  const [path = ''] = address.split('?', 1);
  try {
    return !path.startsWith('//') && (!decodeURIComponent(path).includes('\0') || mayHoldNul);
  } catch {
    return false;
  }
}

/** Whether a value of JSON holds the character U+0000, which no text of PostgreSQL has. */
export function hasNul(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\0');
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([key, held]) => hasNul(key) || hasNul(held));
}
