import { render } from 'preact';
import { App } from './app.js';
import './style/base.css';
import './style/controls.css';
import './style/jobs.css';
import './style/playground.css';

const root = document.getElementById('page');
if (root !== null) render(<App />, root);
