// Browsers start no worker for a page that is opened from the disk: the site's search then runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      this.window = this.frame.contentWindow;
      this.window.postMessage = (data) => setTimeout(() => this.onmessage?.({ data }));
      const script = this.window.document.createElement("script");
      script.src = new URL(url, location.href).href;
      this.ready = new Promise((loaded) => { script.onload = loaded; });
      this.window.document.body.append(script);
    }

    postMessage(data) {
      this.ready.then(() => this.window.onmessage({ data }));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
