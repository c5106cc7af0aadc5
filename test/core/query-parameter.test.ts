import { describe, expect, it } from "vitest";
import { queryParameter } from "../../src/core/query-parameter.ts";

describe("a query parameter is read as servers read it", () => {
  it.each<[string, string[]]>([
    ["", []],
    ["other=1", []],
    ["workspaceId=w1", ["w1"]],
    ["a=1&workspaceId=w1&b=2", ["w1"]],
    ["workspaceId=w1&workspaceId=w2", ["w1", "w2"]],
    ["workspaceId=", [""]],
    ["workspaceId", [""]],
    ["workspaceId=w%31", ["w1"]],
    ["work%73paceId=w1", ["w1"]],
    ["%77%6frkspaceId=w1", ["w1"]],
    ["workspaceId[]=w1", ["w1"]],
    ["workspaceId[0]=w1", ["w1"]],
    ["workspaceId%5B%5D=w1", ["w1"]],
    ["workspaceId=a+b", ["a b"]],
    ["workspaceId=a=b", ["a=b"]],
    ["workspaceId=%zz", ["\0"]],
    ["workspaceId=%ff", ["\0"]],
    ["xworkspaceId=w1", []],
    ["workspaceIds=w1", []],
    ["workspaceId-of=w1", []],
    ["q=workspaceId", []],
    ["&&workspaceId=w1&", ["w1"]],
  ])("%j has %j", (query, values) => {
    expect(queryParameter(query, "workspaceId")).toEqual(values);
  });

  it.each([
    "workspaceid=w1",
    "WORKSPACEID=w1",
    "[workspaceId]=w1",
    "%5BworkspaceId%5D=w1",
    "workspaceId[]%FF=w1",
    "workspaceId%00=w1",
    "workspaceId%20=w1",
    "+workspaceId=w1",
    "%20workspaceId=w1",
    "workspaceId.x=w1",
    "x=1;workspaceId=w1",
    "x;WorkspaceId=w1",
    "workspaceId=w1;x=1",
  ])("%j has one that only some servers would read: no id", (query) => {
    expect(queryParameter(query, "workspaceId")).toEqual(["\0"]);
  });
});
