// What the page knows, in one place. What it shows follows from this and from the fields.

const ofPicture = () => ({
  // What is looked at: {blob, name} or {path}; its upright size as soon as anybody knows it.
  source: null,
  size: null,
  // Whether the picture itself is shown, and the words for the frame that else stands for it.
  visible: false,
  unseen: "",
  // The last answer: {answer, roundTripMs, fields}. Kept ones: {number, card, pin}.
  shown: null,
  kept: [],
  keptCount: 0,
});

export const state = {
  ...ofPicture(),
  // What was begun for one picture is dropped when another came meanwhile.
  pictureCount: 0,
  // The one request under way, and whether another is wanted when it ends.
  flight: null,
  waiting: false,
  // The pointer that drags the point: {id, touch}; and whether a finger has set it.
  drag: null,
  tapped: false,
};

// Forget all that belongs to the picture before.
export function startOver(source) {
  Object.assign(state, ofPicture(), { source, pictureCount: state.pictureCount + 1 });
}
