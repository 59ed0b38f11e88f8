// The till's camera: a frame every half second, until the server sees a coupon in one. Nothing is kept of them.
const $ = (id) => document.getElementById(id);
const said = $("said");
const say = (key) => { said.textContent = said.dataset[key]; };
const camera = $("camera");
if (camera && window.isSecureContext && navigator.mediaDevices) {
  const video = $("seen");
  camera.hidden = false;
  camera.addEventListener("click", async () => {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch { say("nocamera"); return; }
    video.hidden = false;
    camera.hidden = true;
    say("camera");
    await video.play();
    const canvas = document.createElement("canvas");
    const look = () => {
      const scale = Math.min(1, 960 / video.videoWidth);
      canvas.width = video.videoWidth * scale;
      canvas.height = video.videoHeight * scale;
      canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(async (blob) => {
        try {
          const answer = await fetch("/staff/coupons/pictures", { method: "POST", headers: { Accept: "application/json", "Content-Type": "image/jpeg" }, body: blob });
          const { code } = await answer.json();
          if (code) { location.assign(`/staff/coupons/${code}?lang=${document.documentElement.lang}`); return; }
        } catch { /* the next frame is another try */ }
        setTimeout(look, 500);
      }, "image/jpeg", 0.8);
    };
    look();
  });
}
