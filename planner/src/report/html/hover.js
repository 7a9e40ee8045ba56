document.querySelectorAll("[data-chart]").forEach(function (chart) {
  var detail = chart.querySelector(".detail");
  function tell(event) {
    var text = event.target.getAttribute && event.target.getAttribute("data-t");
    if (text) { detail.textContent = text; }
  }
  chart.addEventListener("mouseover", tell);
  chart.addEventListener("focusin", tell);
});
