(file) => {
  // saves the file that the server has just made, as a click on a link would
  if (!file || !file.url) return;
  const link = document.createElement('a');
  link.href = file.url;
  link.download = file.orig_name || 'colorized.png';
  document.body.appendChild(link);
  link.click();
  link.remove();
}
