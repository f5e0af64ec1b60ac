// A server with a health page, and nothing else.
const http = require("node:http");

http
  .createServer((request, response) => {
    const body = request.url === "/health" ? "ok\n" : `${process.env.NODE_ENV} as ${process.getuid()}\n`;
    response.end(body);
  })
  .listen(3000, () => console.log("listening on port 3000"));
process.on("SIGTERM", () => process.exit(0));
