/** Kinds of tools, in the words of the Agent Client Protocol, for agents that name only the tool. */

/** Kinds as the Agent Client Protocol names them, of the tools that the measured agents bring. */
export const kindOfTool = (name: string): string => {
  const tool = name.toLowerCase().replace(/[^a-z]/g, "")
  if (/^(?:read|readfile|readmanyfiles|ls|list|listdirectory|view)$/.test(tool)) return "read"
  if (/^(?:glob|grep|search|searchfilecontent|ripgrep|toolsearch)$/.test(tool)) return "search"
  if (/^(?:webfetch|websearch|fetch|googlewebsearch)$/.test(tool)) return "fetch"
  if (/^(?:todowrite|todoread|todolist|updateplan|think|savethought)$/.test(tool)) return "think"
  if (/^(?:write|edit|multiedit|notebookedit|writefile|replace|patch|applypatch|filechange|createfile|editfile)$/.test(tool)) return "edit"
  if (/^(?:bash|shell|exec|execcommand|runshellcommand|commandexecution|localshell)$/.test(tool)) return "execute"
  return "other"
}

/** May a tool of this kind change something outside the conversation? */
export const isEffect = (kind: string): boolean => !/^(?:read|search|fetch|think|switch_mode)$/.test(kind)
