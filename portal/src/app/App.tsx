import { useTranslation } from "react-i18next";
import { Suspense } from "react";
import { Route, Switch } from "wouter";
import { problemOf } from "../api/problem";
import { LoginPage } from "../auth/LoginPage";
import { useMe } from "../auth/use_me";
import { FirstChat } from "../history/FirstChat";
import { OpenChat } from "../history/OpenChat";
import { ProblemNote } from "../ui/ProblemNote";
import { view } from "../ui/view";
import { Shell } from "./Shell";

const InboxPage = view(() => import("../inbox/InboxPage"));
const AccountPage = view(() => import("../account/AccountPage"));

export function App() {
  const { t } = useTranslation();
  const { me, reason, askAgain } = useMe();
  if (reason && problemOf(reason).status === 401) return <LoginPage />;
  if (me === undefined) {
    if (reason === null) return <p className="sr-only">{t("app.loading")}</p>;
    return (
      <main tabIndex={-1} className="mx-auto max-w-md p-6">
        <ProblemNote error={reason} onRetry={askAgain} />
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
