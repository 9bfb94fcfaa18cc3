/// <reference types="vitest/config" />
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { VitePWA } from "vite-plugin-pwa";

const GRAMMAR = "grammar-";
const server = process.env["PADDOCK_URL"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [
    react(),
    tailwindcss(),
    VitePWA({
      strategies: "injectManifest",
      srcDir: "src/worker",
      filename: "sw.ts",
      injectRegister: null, // main.tsx does: the policy of the page allows no script in the document
      includeManifestIcons: false,
      manifest: {
        name: "Paddock",
        short_name: "Paddock",
        start_url: "/",
        display: "standalone",
        background_color: "#faf9f6",
        theme_color: "#2f6b4f",
        id: "/",
        description: "Runs coding agents as jobs, and keeps what they did.",
        // drawn from icon.svg by tests/support/icons.py; what a mask leaves of it holds the mark
        icons: [
          { src: "/icons/icon.svg", sizes: "any", type: "image/svg+xml", purpose: "any" },
          { src: "/icons/192.png", sizes: "192x192", type: "image/png", purpose: "any" },
          { src: "/icons/512.png", sizes: "512x512", type: "image/png", purpose: "any" },
          { src: "/icons/192.png", sizes: "192x192", type: "image/png", purpose: "maskable" },
          { src: "/icons/512.png", sizes: "512x512", type: "image/png", purpose: "maskable" },
        ],
      },
      injectManifest: {
        // all that the page is made of but the grammars of languages, two thirds of it and asked for by few
        globPatterns: ["index.html", "assets/*.{js,css}"],
        globIgnores: [`assets/${GRAMMAR}*`],
        manifestTransforms: [
          (entries) => ({
            manifest: entries.map((entry) => ({ ...entry, url: entry.url === "index.html" ? "/" : `/${entry.url}` })),
          }),
        ],
      },
    }),
  ],
  build: {
    target: "es2023",
    assetsInlineLimit: 0, // what is not a file of its own would have to be allowed in the policy of the page
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        chunkFileNames: ({ moduleIds }) =>
          `assets/${moduleIds.some((id) => id.includes("/langs/")) ? GRAMMAR : ""}[name]-[hash].js`,
      },
    },
  },
  server: { proxy: { "/api": server, "/login": server, "/ws": { target: server, ws: true } } },
  test: { include: ["src/**/*.test.{ts,tsx}"], restoreMocks: true },
});
