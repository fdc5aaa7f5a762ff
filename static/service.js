// Asks the service, and writes the same question for curl. A source is {blob, name} or {path}.

// Gives {answer, roundTripMs, fields}, or {problem, detail}; nothing when the signal has aborted.
export async function send(source, fields, { key, signal, onSent }) {
  const headers = { Accept: "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const body = source.blob ? new FormData() : new URLSearchParams();
  if (source.blob) body.append("image", source.blob, source.name);
  else body.append("path", source.path);
  for (const [name, value] of fields) body.append(name, value);
  const started = performance.now();
  try {
    const { status, text } = await post(body, { headers, signal, onSent });
    const answer = readJson(text);
    const roundTripMs = performance.now() - started;
    if (status === 200 && answer?.predictions) return { answer, roundTripMs, fields };
    if (answer?.code) return { problem: answer.code, detail: answer.detail };
    return blameTheWay(status);
  } catch {
    if (signal.aborted) return {};
    return { problem: "unreachable", detail: "The service cannot be reached. Is it running?" };
  }
}

function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// The service answers in JSON only: this is a proxy's page, or another server's.
function blameTheWay(status) {
  const between = "Something between here and the service";
  return status === 413
    ? { problem: "too_large", detail: `The picture is too large for the way there: ${between.toLowerCase()} refused it.` }
    : { problem: "unreachable", detail: `${between} answered with status ${status}.` };
}

// By XMLHttpRequest, as fetch does not tell how much of a picture is sent.
function post(body, { headers, signal, onSent }) {
  const request = new XMLHttpRequest();
  request.open("POST", "v1/predictions");
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  signal.addEventListener("abort", () => request.abort());
  request.upload.onprogress = onSent;
  return new Promise((resolve, reject) => {
    request.onload = () => resolve({ status: request.status, text: request.responseText });
    request.onerror = request.onabort = () => reject(new Error("no answer"));
    request.send(body);
  });
}

export function writeCurl(source, fields, { keyed }) {
  const flag = source.blob ? "-F" : "--data-urlencode";
  // curl reads ; and , in a file name as its own, unless it is in double quotes.
  const file = source.blob && (/[;,"\\]/.test(source.name)
    ? `"${source.name.replace(/(["\\])/g, "\\$1")}"` : source.name);
  const first = source.blob ? `image=@${file}` : `path=${source.path}`;
  const lines = [first, ...fields.map(([name, value]) => `${name}=${value}`)]
    .map((field) => `${flag} ${quote(field)}`);
  if (keyed) lines.push(`-H "Authorization: Bearer $DSAPI_KEY"`);
  lines.push(quote(new URL("v1/predictions", document.baseURI).href));
  return `curl ${lines.join(" \\\n  ")}`;
}

function quote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
