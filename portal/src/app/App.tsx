import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Suspense } from "react";
import { Route, Switch } from "wouter";
import { problemOf } from "../api/problem";
import { meQuery } from "../api/queries";
import { LoginPage } from "../auth/LoginPage";
import { FirstChat } from "../history/FirstChat";
import { OpenChat } from "../history/OpenChat";
import { ProblemNote } from "../ui/ProblemNote";
import { view } from "../ui/view";
import { Shell } from "./Shell";

const InboxPage = view(() => import("../inbox/InboxPage"));
const AccountPage = view(() => import("../account/AccountPage"));

export function App() {
  const { t } = useTranslation();
  const me = useQuery(meQuery);
  if (me.isPending) return <p className="sr-only">{t("app.loading")}</p>;
  if (me.error && (me.data === undefined || problemOf(me.error).status === 401)) {
    if (problemOf(me.error).status === 401) return <LoginPage />;
    return (
      <main tabIndex={-1} className="mx-auto max-w-md p-6">
        <ProblemNote error={me.error} onRetry={() => void me.refetch()} />
      </main>
    );
  }
  return (
    <Shell>
      <Switch>
        <Route path="/chats/:chatId">{({ chatId }) => <OpenChat key={chatId} chatId={chatId} />}</Route>
        <Route path="/inbox">
          <Suspense fallback={<p className="p-6">{t("app.loading")}</p>}>
            <InboxPage />
          </Suspense>
        </Route>
        <Route path="/account">
          <Suspense fallback={<p className="p-6">{t("app.loading")}</p>}>
            <AccountPage />
          </Suspense>
        </Route>
        <Route>
          <FirstChat />
        </Route>
      </Switch>
    </Shell>
  );
}
