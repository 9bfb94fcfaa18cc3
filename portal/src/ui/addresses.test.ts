import { expect, it } from "vitest";
import { safeAddress } from "./addresses";

it.each(["https://example.org/a?b#c", "http://example.org/", "mailto:a@example.org"])("follows %s", (address) => {
  expect(safeAddress(address)).toBe(address);
});

it.each([
  "javascript:alert(1)",
  " javascript:alert(1)",
  "java\tscript:alert(1)",
  "JAVASCRIPT:alert(1)",
  "data:text/html,<script>alert(1)</script>",
  "vbscript:x",
  "blob:http://example.org/1",
  "file:///etc/passwd",
  "/api/auth/logout",
  "//example.org/a",
  "src/main.py",
  "",
  undefined,
])("does not follow %s", (address) => {
  expect(safeAddress(address)).toBeUndefined();
});
