import { testDevice } from "../testing/conformance.ts";
import { ReferenceDevice } from "./device.ts";

testDevice("reference", () => Promise.resolve(new ReferenceDevice()));
