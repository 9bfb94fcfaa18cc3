import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import type { Schemas } from "../api/client";
import { useNoticeState } from "../inbox/notices";
import { activityQuery, FOLLOWS_ACTIVITY } from "./queries";

/** Asks what goes on, and has everything read again that may be another since. To be used once, by the frame of the page. */
export function useActivity(): Schemas["ActivityView"] | undefined {
  const mayNotify = useNoticeState() === "on"; // who is told when nobody looks has to ask then, too
  const client = useQueryClient();
  const { data } = useQuery({ ...activityQuery, refetchIntervalInBackground: mayNotify });
  const version = data?.version;
  const known = useRef(version);
  useEffect(() => {
    if (known.current !== undefined && known.current !== version) {
      for (const about of FOLLOWS_ACTIVITY) void client.invalidateQueries({ queryKey: [about] });
    }
    known.current = version;
  }, [client, version]);
  return data;
}
