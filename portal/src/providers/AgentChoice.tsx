import { useQuery } from "@tanstack/react-query";
import { Popover } from "radix-ui";
import { useTranslation } from "react-i18next";
import { chatQuery } from "../history/queries";
import { useChatChanges } from "../history/use_chat_changes";
import { ProblemNote } from "../ui/ProblemNote";
import { ModelField } from "./ModelField";
import { useProviderName } from "./names";
import { ProviderOption } from "./ProviderOption";
import { providersQuery } from "./queries";

/** Which agent and model the next runs of a chat use. */
export function AgentChoice({ chatId }: { chatId: string }) {
  const { t } = useTranslation();
  const nameOf = useProviderName();
  const { data: chat } = useQuery(chatQuery(chatId));
  const providers = useQuery(providersQuery);
  const { change } = useChatChanges(chatId);
  if (!chat) return null;
  const items = providers.data?.items ?? [];
  const chosen = items.find(({ kind }) => kind === chat.provider);
  const name = [nameOf(chat.provider), chat.model ?? chosen?.model].filter(Boolean).join(" · ");
  const error = providers.error ?? change.error;
  return (
    <Popover.Root>
      <Popover.Trigger
        aria-label={t("providers.choose", { name })}
        className={`min-w-0 cursor-pointer truncate rounded-full border px-2.5 hover:bg-sunken ${chosen?.ready === false ? "border-warn-line text-warn" : "border-line"}`}
      >
        {name}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content
          side="top"
          align="start"
          aria-label={t("providers.title")}
          className="z-20 flex max-h-[70vh] w-[min(420px,calc(100vw-2rem))] flex-col gap-3 overflow-auto rounded-md border border-line bg-panel p-3 shadow-soft"
        >
          <fieldset className="flex flex-col gap-0.5">
            <legend className="mb-1 px-2 text-sm text-muted">{t("providers.title")}</legend>
            {items.map((provider) => (
              <ProviderOption
                key={provider.kind}
                provider={provider}
                isChosen={provider.kind === chat.provider}
                onChoose={() => change.mutate({ provider: provider.kind })}
              />
            ))}
          </fieldset>
          <ModelField
            key={`${chat.provider} ${chat.model}`}
            model={chat.model}
            usual={chosen?.model ?? null}
            onChoose={(model) => change.mutate({ model })}
          />
          {error && <ProblemNote error={error} />}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}
