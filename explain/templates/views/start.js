// Make each view of the page from the data beside it; one in a closed drawer waits until the drawer opens.
/* global HeadView, ModelView, NeuronView, EmbeddingView, ProfileView */

const VIEWS = {
  head: typeof HeadView === "undefined" ? null : HeadView,
  model: typeof ModelView === "undefined" ? null : ModelView,
  neuron: typeof NeuronView === "undefined" ? null : NeuronView,
  embedding: typeof EmbeddingView === "undefined" ? null : EmbeddingView,
  profile: typeof ProfileView === "undefined" ? null : ProfileView,
};

for (const root of document.querySelectorAll("[data-view]")) {
  const begin = () => {
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    root.figure = new VIEWS[root.dataset.view](root, data);
  };
  const drawer = root.closest("details");
  if (!drawer || drawer.open) begin();
  else drawer.addEventListener("toggle", begin, { once: true });
}
