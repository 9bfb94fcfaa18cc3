import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { problemOf } from "./api/problem";
import { LOGIN, meQuery } from "./api/queries";
import { App } from "./app/App";
import { readAhead } from "./app/read_ahead";
import { startTheme } from "./app/theme";
import { startI18n } from "./i18n/i18n";
import "./tokens.css";
import { startFocusKeeper } from "./ui/focus_keeper";
import { Mishap } from "./ui/Mishap";
import { startShortcuts } from "./ui/shortcuts";

const REFUSED = [400, 499] as const;

startTheme();
startI18n();
startShortcuts();
startFocusKeeper();
/** A session that has ended shows the way in, at the address where one is; a newer one has another proof. */
const onError = (error: unknown) => {
  const { status, code } = problemOf(error);
  const isMe = status === 401 || code === "csrf_failed";
  if (isMe) void client.invalidateQueries({ queryKey: meQuery.queryKey });
};
const queryCache = new QueryCache({
  onError: (error, query) => {
    if (query.queryKey[0] !== meQuery.queryKey[0]) onError(error);
  },
});
const mutationCache = new MutationCache({
  onError: (error, _variables, _before, mutation) => {
    if (mutation.options.mutationKey?.[0] !== LOGIN) onError(error); // what was refused there is told there
  },
});
const client = new QueryClient({
  queryCache,
  mutationCache,
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
readAhead(client, window.location.pathname);
const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <Mishap>
        <App />
      </Mishap>
    </QueryClientProvider>
  </StrictMode>,
);
// when the page is there: the worker's parts are not to come before those that are looked at
if (import.meta.env.PROD && "serviceWorker" in navigator)
  window.addEventListener("load", () => void navigator.serviceWorker.register("/sw.js"));
