/**
 * ONNX Runtime from 1.29 on sends what it is used for to its makers, on Linux and macOS too, and keeps a database of it in
 * the user's cache and a log in the temporary folder. What this package reads is nobody's business: imported before the
 * runtime is loaded, this turns it off for the process and its threads. Whoever wants it sets ORT_DISABLE_TELEMETRY=0.
 */
process.env['ORT_DISABLE_TELEMETRY'] ??= '1';
