import type { Hono } from "hono";
import { z } from "zod";
import { ApiError } from "../_shared/errors.ts";
import { createApp, parse, parseJson } from "../_shared/http.ts";

/** A photograph that a device is about to upload. */
export type Photo = { content_type: string; size: number; sha256?: string | undefined };

/** Where a registered file goes. */
export type Place = { file_id: string; bucket: string; path: string };

export type Dependencies = {
  /** With the device's key: announces the photograph. */
  register: (deviceKey: string, photo: Photo) => Promise<Place>;
  /** With the secret key: an address that takes the content of this one file, once. */
  sign: (place: Place) => Promise<string>;
};

const photo = z.strictObject({
  content_type: z.string().regex(/^[ -~]{1,100}$/),
  size: z.int().positive(),
  sha256: z.hex().length(64).optional(),
});

/**
 * POST /gate-photo `{ content_type, size, sha256? }` with `x-device-key`: a camera, a tablet or an intercom announces a photograph.
 *
 * Answers 201 `{ file_id, upload_url }`. `file_id` goes as `photo_file_id` into the question to `verify-pass`, before or after the
 * content is there; `upload_url` takes it by PUT, with this type and as many bytes, once, and no other header.
 *
 * Errors: 400 `invalid_body`, 401 `missing_credentials`, and those of the RPC `register_device_photo`.
 */
export function gatePhoto(dependencies: Dependencies): Hono {
  const app = createApp("gate-photo");

  app.post("/", async (c) => {
    const key = c.req.header("x-device-key");
    if (key === undefined || !/^[!-~]{1,200}$/.test(key)) {
      throw new ApiError(401, "missing_credentials", undefined, "A device sends its key as x-device-key.");
    }
    const place = await dependencies.register(key, parse(photo, parseJson(await c.req.text())));
    const upload_url = await dependencies.sign(place);
    return c.json({ file_id: place.file_id, upload_url }, 201, { "cache-control": "no-store" });
  });

  return app;
}
