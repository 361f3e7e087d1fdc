/** An Ed25519 key: both halves are 32 bytes. */
export type KeyPair = { publicKey: Uint8Array; secret: Uint8Array };

/** A new key. */
export async function makeKeyPair(): Promise<KeyPair> {
  const { privateKey } = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]) as CryptoKeyPair;
  const { x, d } = await crypto.subtle.exportKey("jwk", privateKey);
  if (!x || !d) throw new Error("the runtime exports no Ed25519 key");
  return { publicKey: fromBase64url(x), secret: fromBase64url(d) };
}

/**
 * What an offline pass reads: what is to be signed, and its signature. The signature is verified before anybody relies on it, so
 * that two halves that do not belong together are noticed here and not at the gate.
 */
export async function signPass(toSign: string, { publicKey, secret }: KeyPair): Promise<string> {
  const jwk = { kty: "OKP", crv: "Ed25519", x: base64url(publicKey) };
  const message = new TextEncoder().encode(toSign);
  const [signing, verifying] = await Promise.all([
    crypto.subtle.importKey("jwk", { ...jwk, d: base64url(secret) }, "Ed25519", false, ["sign"]),
    crypto.subtle.importKey("jwk", jwk, "Ed25519", false, ["verify"]),
  ]);
  const signature = await crypto.subtle.sign("Ed25519", signing, message);
  if (!await crypto.subtle.verify("Ed25519", verifying, signature, message)) {
    throw new Error("the halves of the key do not belong together");
  }
  return `${toSign}.${base64url(new Uint8Array(signature))}`;
}

/** Bytes in base64. */
export const base64 = (bytes: Uint8Array): string =>
  btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

const base64url = (bytes: Uint8Array) => base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
const fromBase64url = (text: string) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
