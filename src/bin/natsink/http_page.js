const gone = document.getElementById("gone");
async function renew() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/status.html", { signal: AbortSignal.timeout(1800) });
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of ["main", ".badge", "footer"]) {
      const [here, there] = [document.querySelector(part), next.querySelector(part)];
      if (here.innerHTML !== there.innerHTML) here.innerHTML = there.innerHTML;
    }
    document.title = next.title;
    document.body.className = next.body.className;
    gone.hidden = true;
  } catch {
    gone.hidden = false;
    document.title = "Gone · natsink";
  }
}
setInterval(renew, 2000);
document.addEventListener("visibilitychange", renew);
