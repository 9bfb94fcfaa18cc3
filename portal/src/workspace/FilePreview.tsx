import { useInfiniteQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ProblemNote } from "../ui/ProblemNote";
import { sizeText } from "./names";
import { isPicture } from "./pictures";
import { PicturePreview } from "./PicturePreview";
import { fileQuery } from "./queries";
import { TextPreview } from "./TextPreview";

interface Props {
  sessionId: string;
  path: string;
}

/** What a file holds, where that is something to look at. */
export function FilePreview({ sessionId, path }: Props) {
  const { t, i18n } = useTranslation();
  const file = useInfiniteQuery(fileQuery(sessionId, path));
  if (file.error) {
    return (
      <div className="p-4">
        <ProblemNote error={file.error} onRetry={() => void file.refetch()} />
      </div>
    );
  }
  const parts = file.data?.pages ?? [];
  const first = parts[0];
  if (!first) return <p className="p-4 text-muted">{t("app.loading")}</p>;
  if (first.size === 0) return <p className="p-4 text-muted">{t("workspace.emptyFile")}</p>;
  const noPreview = (
    <p className="p-4 text-muted">{t("workspace.noPreview", { size: sizeText(first.size, i18n.language) })}</p>
  );
  if (first.isText) {
    return (
      <TextPreview
        path={path}
        parts={parts}
        isReading={file.isFetchingNextPage}
        onMore={file.hasNextPage ? () => void file.fetchNextPage() : undefined}
      />
    );
  }
  if (isPicture(first.bytes)) return <PicturePreview sessionId={sessionId} path={path} otherwise={noPreview} />;
  return noPreview;
}
