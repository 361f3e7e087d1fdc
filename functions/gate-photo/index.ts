import { administrator, ofDevice } from "../_shared/database.ts";
import { fromDatabase } from "../_shared/errors.ts";
import { gatePhoto } from "./handler.ts";

const app = gatePhoto({
  async register(deviceKey, photo) {
    const { data, error } = await ofDevice(deviceKey).rpc("register_device_photo", photo).single();
    if (error) throw fromDatabase(error);
    return data;
  },
  // Storage knows users only: a device is given an address that is good for this one file.
  async sign({ bucket, path }) {
    const { data, error } = await administrator().storage.from(bucket).createSignedUploadUrl(path);
    if (error) throw error;
    return data.signedUrl;
  },
});

Deno.serve(app.fetch);
