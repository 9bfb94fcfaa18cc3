import { memo, type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { safeAddress } from "./addresses";
import { CodeBlock } from "./CodeBlock";
import "./markdown.css";
import { MarkdownBlocks } from "./markdown_blocks";
import { shownText } from "./shown_text";

/** Characters of one block beyond which it is shown as it was written: to parse it again and again would hold up the page. */
const LONGEST = 40_000;
const LONGEST_GROWING = 6000;

interface Props {
  text: string;
  isGrowing?: boolean;
}

/** Markdown of an agent. Nothing of it is markup of the page: HTML is shown as text, pictures are not fetched, links are checked. */
export default function MarkdownText({ text, isGrowing = false }: Props) {
  const [cut] = useState(() => new MarkdownBlocks());
  const blocks = cut.of(shownText(text), isGrowing);
  return (
    <div className="markdown min-w-0 break-words">
      {blocks.map((block, place) => (
        <MarkdownBlock key={place} text={block} isGrowing={isGrowing && place === blocks.length - 1} />
      ))}
    </div>
  );
}

const MarkdownBlock = memo(function MarkdownBlock({ text, isGrowing }: Required<Props>) {
  if (text.length > (isGrowing ? LONGEST_GROWING : LONGEST)) return <p className="whitespace-pre-wrap">{text}</p>;
  return (
    <ReactMarkdown remarkPlugins={PLUGINS} components={isGrowing ? GROWING : WHOLE} urlTransform={(address) => address}>
      {text}
    </ReactMarkdown>
  );
});

const PLUGINS = [remarkGfm];
const COMMON: Components = {
  a: ({ href, children }) => <Link address={href}>{children}</Link>,
  img: ({ src, alt }) => <Picture address={typeof src === "string" ? src : undefined} alt={alt} />,
  input: ({ checked }) => <span aria-hidden>{checked ? "☑ " : "☐ "}</span>,
  table: ({ children }) => (
    <div className="overflow-x-auto">
      <table>{children}</table>
    </div>
  ),
};
const WHOLE: Components = { ...COMMON, pre: ({ children }) => <Pre isGrowing={false}>{children}</Pre> };
const GROWING: Components = { ...COMMON, pre: ({ children }) => <Pre isGrowing>{children}</Pre> };

function Link({ address, children }: { address: string | undefined; children: ReactNode }) {
  const safe = safeAddress(address);
  if (safe === undefined) return <span title={address}>{children}</span>;
  return (
    <a href={safe} target="_blank" rel="noopener noreferrer" className="text-accent underline">
      {children}
    </a>
  );
}

function Picture({ address, alt }: { address: string | undefined; alt: string | undefined }) {
  const { t } = useTranslation();
  return <Link address={address}>{t("markdown.picture", { about: alt ?? address ?? "" })}</Link>;
}

/** `pre` holds one `code` with the language as its class. */
function Pre({ children, isGrowing }: { children: ReactNode; isGrowing: boolean }) {
  const { className, children: code } = propsOf(children);
  const language = /language-([\w+#.-]+)/.exec(typeof className === "string" ? className : "")?.[1] ?? "";
  return <CodeBlock code={typeof code === "string" ? code : ""} language={language} isGrowing={isGrowing} />;
}

function propsOf(node: ReactNode): Readonly<Record<string, unknown>> {
  return typeof node === "object" && node !== null && "props" in node ? (node.props as Record<string, unknown>) : {};
}
