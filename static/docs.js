// Starts Swagger UI on the service's own document.
"use strict";

window.ui = window.SwaggerUIBundle({
  url: "openapi.json",
  domNode: document.getElementById("reference"),
  deepLinking: true,
  displayRequestDuration: true,
  // Answers are checked here, not by a host elsewhere.
  validatorUrl: null,
  // Its label holds nothing but the list itself.
  onComplete: () => document.getElementById("servers")?.setAttribute("aria-label", "Server"),
});
