import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { problemOf } from "./api/problem";
import { App } from "./app/App";
import { startTheme } from "./app/theme";
import { startI18n } from "./i18n/i18n";
import "./tokens.css";
import { startShortcuts } from "./ui/shortcuts";

const REFUSED = [400, 499] as const;

startTheme();
startI18n();
startShortcuts();
const client = new QueryClient({
  defaultOptions: {
    queries: {
      // what was refused will be refused again; what did not answer may
      retry: (failures, error) => {
        const { status } = problemOf(error);
        return failures < 2 && !(status >= REFUSED[0] && status <= REFUSED[1]);
      },
    },
  },
});
const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
if (import.meta.env.PROD && "serviceWorker" in navigator) void navigator.serviceWorker.register("/sw.js");
