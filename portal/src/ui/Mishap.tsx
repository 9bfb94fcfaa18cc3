import { Component, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "./Button";
import { PartMissing } from "./view";

interface Props {
  children: ReactNode;
}

interface State {
  readonly error: unknown;
}

/** Keeps what goes wrong in a part of the page to that part, and says what to do. */
export class Mishap extends Component<Props, State> {
  override state: State = { error: undefined };

  static getDerivedStateFromError(error: unknown): State {
    return { error };
  }

  override render(): ReactNode {
    const { error } = this.state;
    return error === undefined ? this.props.children : <Note isMissing={error instanceof PartMissing} />;
  }
}

function Note({ isMissing }: { isMissing: boolean }) {
  const { t } = useTranslation();
  return (
    <div role="alert" className="m-4 flex flex-col items-start gap-2 rounded-md border border-line bg-panel px-4 py-3">
      <p className="font-medium">{isMissing ? t("mishap.newer") : t("mishap.broken")}</p>
      <p className="text-muted">{t("mishap.kept")}</p>
      <Button look="primary" onClick={() => window.location.reload()}>
        {t("mishap.reload")}
      </Button>
    </div>
  );
}
