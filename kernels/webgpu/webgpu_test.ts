import { testDevice } from "../testing/conformance.ts";
import { openWebgpu } from "./adapter.ts";

testDevice("webgpu", () => openWebgpu());

// The kernels of GPUs without subgroups: shared memory and barriers, here on whatever there is.
testDevice("webgpu generic", () => openWebgpu({ profile: "generic" }));
