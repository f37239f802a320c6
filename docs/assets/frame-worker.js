// SPDX-License-Identifier: GPL-3.0-or-later
// A browser starts no worker from a folder (file:). There the site's search runs its script in a hidden frame instead;
// the theme's script looks for the name IFrameWorker to know that it does.
"use strict";
if (location.protocol === "file:") {
  const prepare = () => {
    window.postMessage = (data) => parent.postMessage(data, "*");
    window.importScripts = async (...urls) => {
      for (const url of urls) {
        const script = document.createElement("script");
        await new Promise((loaded, failed) => {
          Object.assign(script, { onload: loaded, onerror: failed, src: url });
          document.body.append(script);
        });
      }
    };
  };
  window.IFrameWorker = window.Worker = class extends EventTarget {
    #frame = document.createElement("iframe");
    #loaded;
    #hear = (event) => {
      if (event.source !== this.#frame.contentWindow) return;
      const told = new MessageEvent("message", { data: event.data });
      this.dispatchEvent(told);
      this.onmessage?.(told);
    };

    constructor(url) {
      super();
      this.#frame.hidden = true;
      document.body.append(this.#frame);
      addEventListener("message", this.#hear);
      this.#loaded = new Promise((loaded) => this.#frame.addEventListener("load", loaded));
      const inside = this.#frame.contentDocument;
      inside.open();
      inside.write(`<body><script>(${prepare})()</script><script src="${url}"></script></body>`);
      inside.close();
    }

    async postMessage(data) {
      await this.#loaded;
      this.#frame.contentWindow.dispatchEvent(new MessageEvent("message", { data: structuredClone(data) }));
    }

    terminate() {
      removeEventListener("message", this.#hear);
      this.#frame.remove();
    }
  };
}
