import { useTranslation } from "react-i18next";
import { Icon } from "../ui/Icon";
import { shownText } from "../ui/shown_text";
import type { Todo, TodoStatus } from "./todo_lists";

const LOOKS: Readonly<Record<TodoStatus, string>> = {
  pending: "border-strong-line",
  in_progress: "border-dashed border-accent",
  completed: "border-accent bg-accent text-on-accent",
};
const WORDS: Readonly<Record<TodoStatus, string>> = {
  pending: "",
  in_progress: "font-semibold",
  completed: "text-muted line-through",
};

/** The list as it is now. */
export function TodoBoard({ todos }: { todos: readonly Todo[] }) {
  const { t } = useTranslation();
  const done = todos.filter(({ status }) => status === "completed").length;
  return (
    <section aria-label={t("todos.plan")}>
      <h3 className="mb-2 flex text-sm font-semibold text-muted">
        {t("todos.plan")}
        <span className="ml-auto font-normal">{t("todos.done", { done, all: todos.length })}</span>
      </h3>
      <ul>
        {todos.map(({ id, content, status }) => (
          <li key={id} className="flex gap-2.5 py-1">
            <span
              className={`mt-[3px] grid size-4 flex-none place-items-center rounded-full border-[1.6px] ${LOOKS[status]} [&_svg]:size-3`}
            >
              {status === "completed" && <Icon name="done" />}
              <span className="sr-only">{t(`todos.${status}`)}</span>
            </span>
            <span className={`min-w-0 break-words ${WORDS[status]}`}>{shownText(content)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
