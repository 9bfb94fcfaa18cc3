import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { meQuery } from "../api/queries";

/** Who is here, or why that is not known. The reason stands while it is asked again: what is shown of it, and typed there, stays. */
export function useMe() {
  const { data, error, failureReason, refetch } = useQuery(meQuery);
  const reason = error ?? failureReason;
  const [last, setLast] = useState(reason);
  if (reason !== null && reason !== last) setLast(reason);
  return { me: data, reason: reason ?? (data === undefined ? last : null), askAgain: () => void refetch() };
}
